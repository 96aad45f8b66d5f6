"""What people see: text, tables, pictures and documents of what was concluded."""
