"""The demo's mail inbox: takes every mail by SMTP, sends none on, shows them on a page. Loopback only."""
