"""A volume goes in, findings come out: no network association, no database, no queue lives here."""
