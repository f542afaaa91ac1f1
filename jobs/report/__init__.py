"""`ehr report`, one page that shows a lake and its models to people, and `ehr card`, a card for each model."""
