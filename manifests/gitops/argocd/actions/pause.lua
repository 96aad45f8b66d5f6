-- Holds updates; recovery and scaling go on.
obj.spec.paused = true
return obj
