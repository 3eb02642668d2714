"""Values for the fields of any model, made from what kind of field each is."""
