"""Makes addons for tests: any number of them, of five models each, with what addons have."""
