"""Rows that an addon brings along are put in once, and are the firm's own from then on."""

from core.records import records
from core.seeding import seed_data


def test_a_stage_that_the_firm_renamed_or_removed_is_not_brought_back(create):
    extra = create("crm_stage", name="Extra")
    gate = records(type(extra))

    def stages():
        return {one.name: one for one in gate.find(limit=100).rows}

    before = set(stages())
    gate.edit(stages()["Taken on"], {"name": "收案登记"})
    gate.delete(stages()["Withdrawn"])
    assert seed_data() == 0
    assert set(stages()) == before - {"Taken on", "Withdrawn"} | {"收案登记"}
