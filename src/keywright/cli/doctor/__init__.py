"""`keywright doctor`: one module a subject, each with checks that change nothing and give findings."""
