-- Lets updates go on.
obj.spec.paused = false
return obj
