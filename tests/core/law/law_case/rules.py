"""What the code itself gives to the roles of the law office."""

from core import Role, everyone, rule

from .models import Bill, Court, Deed, Letter, Matter, MatterHalf, Memo, Opinion, Paper, Step, Topic

clerk = Role("Law clerk")
partner = Role("Law partner")
guest = Role("Law guest")

rule(Court, everyone, "read")
rule(Topic, everyone, "read")
rule(Matter, clerk, "read create edit", shared=True)
rule(Matter, partner, "read create edit delete", scope="below team", shared=True)
rule(Step, clerk, "read create edit delete")
rule(Step, partner, "read create edit delete")
rule(Paper, clerk, "read create")
rule(Bill, clerk, "read create edit", scope="own department")
rule(Bill, partner, "read create edit delete", scope="below")
rule(Deed, partner, "read create")
rule(Letter, clerk, "read create edit")
rule(Memo, clerk, "read create edit delete", scope="own")
rule(Memo, partner, "read", shared=True)
rule(MatterHalf, guest, "read", scope="all")
rule(Opinion, clerk, "read edit sign", shared=True, hidden="draft", read_only="fee")
rule(Opinion, partner, "read edit sign seal", scope="below team", read_only="draft")
rule(Opinion, partner, "export print", scope="own")
rule(Opinion, guest, "read", scope="department", shared=True, hidden="draft fee")
