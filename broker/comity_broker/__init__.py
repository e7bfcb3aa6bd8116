"""The broker: services, admission, journal, dispatch, storage and audit logs."""
