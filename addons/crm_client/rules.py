"""Who may do what with clients and their contacts."""

from addons.crm_client.models import Client, Contact

from core import Role, rule

salesperson = Role("Salesperson")
sales_manager = Role("Sales manager")

rule(Client, salesperson, "read create edit transfer import export print", scope="own", shared=True)
rule(Client, salesperson, "share", scope="own")
rule(Client, sales_manager, "read create edit delete transfer share bulk import export print", scope="own below", shared=True)

for role in (salesperson, sales_manager):
    rule(Contact, role, "read create edit delete import export print")
