"""Made-up names for the demo firm: people, companies, streets and phones, in three languages; no real person or number is meant."""

from __future__ import annotations

import random

HANS, HANT = "zh_Hans", "zh_Hant"
SURNAMES = {
    HANS: "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范",
    HANT: "陳林黃張李王吳劉蔡楊許鄭謝郭洪曾邱廖賴周徐蘇葉莊呂江何蕭羅高潘簡朱鍾游彭詹胡施沈余盧梁趙顏柯翁魏孫戴",
}
GIVEN = {
    HANS: "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国文辉力宇浩欣怡梓涵轩雨桐思远嘉诺晨曦佳琪博泽宏俊志东海燕春梅",
    HANT: "偉芳雅婷怡君家豪志明淑芬俊傑宗翰佳穎冠宇承恩詩涵品妍彥廷柏翰欣儀美玲建宏文雄秀英麗華惠雯慧玲國強正雄淑惠宜庭",
}
BRANDS = {
    HANS: "宏达鑫源恒泰盛华瑞丰永兴中天金龙海新世纪东方远大博雅智联云创科讯德诚信和顺美康宁安邦卓越星辰蓝图启航众合万象同济光明锦绣前程",
    HANT: "宏達鑫源恆泰盛華瑞豐永興中天金龍海新世紀東方遠大博雅智聯雲創科訊德誠信和順美康寧安邦卓越星辰藍圖啟航眾合萬象同濟光明錦繡前程",
}
TRADES = {
    HANS: "科技 电子 贸易 机械 建材 服饰 食品 物流 信息技术 网络 医疗器械 化工 新能源 家具 印刷 包装 教育 文化传媒 环保 汽车配件".split(),
    HANT: "科技 電子 貿易 機械 建材 服飾 食品 物流 資訊 網路 醫療器材 化工 新能源 家具 印刷 包裝 教育 文化傳播 環保 汽車零件".split(),
}
FORMS = {
    HANS: "有限公司 有限公司 有限公司 有限责任公司 股份有限公司 集团 工厂 商行".split(),
    HANT: "有限公司 有限公司 股份有限公司 股份有限公司 企業社 商行 工廠".split(),
}
STREETS = {
    HANS: "人民路 解放路 中山路 建设大道 科技园路 长江路 滨海大道 文一西路 南京西路 学院路".split(),
    HANT: "中正路 中山路 民生東路 忠孝東路 復興南路 仁愛路 信義路 建國北路 和平西路 光復路".split(),
}
EN_FIRST = "James Mary Robert Linda David Susan Peter Karen Alice Brian Carol Daniel Emma Frank Grace Henry Irene Jack Kevin Laura".split()
EN_LAST = "Smith Johnson Brown Taylor Miller Wilson Moore Clark Lewis Walker Hall Young King Wright Scott Green Baker Adams Nelson".split()
EN_A = "Bright North Silver Golden Pacific Summit Harbor Evergreen Blue Red Oak Maple Stone River Lake Sun Star Crown Eagle Apex".split()
EN_B = "wood field bridge gate land port side view point line mark ford dale crest haven works forge wave peak spring".split()
EN_TRADES = "Logistics Trading Electronics Foods Textiles Machinery Software Medical Energy Packaging Motors Media Furniture".split()
EN_FORMS = "Ltd Inc Co. LLC GmbH Group".split()
EN_STREETS = "High Street|Station Road|Park Avenue|Mill Lane|Church Street|Queen's Road|Harbour Road".split("|")
MOBILES = [f"{one}{two}" for one in (13, 15, 18) for two in range(10)]


class Words:
    """Names in one language, drawn from a generator of chance whose seed decides all of them."""

    def __init__(self, language: str, pick: random.Random) -> None:
        self.language, self.pick = language, pick

    def person(self) -> str:
        """A person's name."""
        pick = self.pick
        if self.language not in SURNAMES:
            return f"{pick.choice(EN_FIRST)} {pick.choice(EN_LAST)}"
        given = "".join(pick.choices(GIVEN[self.language], k=2 if self.language == HANT else pick.choice((1, 2, 2))))
        return pick.choice(SURNAMES[self.language]) + given

    def company(self, city: str = "") -> str:
        """A company's name, mostly with its city in front, as Chinese firms register."""
        pick = self.pick
        if self.language not in BRANDS:
            return f"{pick.choice(EN_A)}{pick.choice(EN_B)} {pick.choice(EN_TRADES)} {pick.choice(EN_FORMS)}"
        brand = "".join(pick.choices(BRANDS[self.language], k=pick.choice((2, 2, 3, 4))))
        place = city if self.language == HANS and pick.random() < 0.7 else ""
        return f"{place}{brand}{pick.choice(TRADES[self.language])}{pick.choice(FORMS[self.language])}"

    def address(self, city: str) -> str:
        """A street with a number."""
        number = self.pick.randrange(1, 999)
        if self.language not in STREETS:
            return f"{number} {self.pick.choice(EN_STREETS)}, {city}"
        street = self.pick.choice(STREETS[self.language])
        return f"{city}市{street}{number}号" if self.language == HANS else f"{city}{street}{number}號"

    def mobile(self) -> str:
        """A mobile number in the style of the language's offices."""
        pick = self.pick
        if self.language == HANT:
            return f"09{pick.randrange(10, 99)}-{pick.randrange(1000):03d}-{pick.randrange(1000):03d}"
        return f"{pick.choice(MOBILES)}{pick.randrange(10**8):08d}"
