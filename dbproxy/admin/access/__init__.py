"""Who may use the web application, and the audit log of what everybody has done."""
