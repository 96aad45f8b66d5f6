-- Removes all groups and keeps the number and revision of each.
obj.spec.suspend = true
return obj
