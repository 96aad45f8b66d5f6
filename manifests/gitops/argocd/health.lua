-- The health of a ModelInfer for Argo CD. It follows kstatus: Ready and Stalled, where the controller has seen the spec.
local result = { status = "Progressing", message = "Waiting for the controller to see the ModelInfer" }
local status = obj.status
if status == nil or status.observedGeneration == nil or status.observedGeneration < (obj.metadata.generation or 0) then
  return result
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local stalled, ready = conditions.Stalled, conditions.Ready
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
if ready ~= nil then
  if ready.status == "True" then
    return { status = "Healthy", message = ready.message }
  end
  if ready.reason == "Suspended" or ready.reason == "Paused" then
    return { status = "Suspended", message = ready.message }
  end
  return { status = "Progressing", message = ready.message }
end

-- A controller of release 0.1 sets no Ready.
local available, progressing, updating = conditions.Available, conditions.Progressing, conditions.UpdateInProgress
if available == nil then
  return result
end
if available.status ~= "True" then
  return { status = "Progressing", message = available.message }
end
for _, condition in ipairs({ progressing or {}, updating or {} }) do
  if condition.status == "True" then
    return { status = "Progressing", message = condition.message }
  end
end
return { status = "Healthy", message = available.message }
