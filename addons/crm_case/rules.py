"""Who may do what with cases, their notes and stages."""

from addons.crm_case.models import Case, CaseNote, Stage
from addons.crm_client.models import Client

from core import Role, rule

agent = Role("Case agent")
lawyer = Role("Lawyer")
head_of_cases = Role("Head of cases")

rule(Case, agent, "read create edit print", scope="department", shared=True)
rule(Case, lawyer, "read create edit close reopen export print", scope="own", shared=True)
rule(Case, head_of_cases, "read create edit close reopen delete transfer share bulk import export print", scope="own below", shared=True)

for role in (agent, lawyer, head_of_cases):
    # Whoever opens a case chooses its client, and has to find out whom the firm acts for already.
    rule(Client, role, "read", scope="all")
    rule(Stage, role, "read")
    rule(CaseNote, role, "read create edit print")
rule(CaseNote, head_of_cases, "delete export")
