-- Brings all groups back.
obj.spec.suspend = false
return obj
