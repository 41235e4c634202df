"""Write the report: HTML, PDF, Markdown, figures, checklists."""
