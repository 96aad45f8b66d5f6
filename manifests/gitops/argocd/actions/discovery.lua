-- Which actions Argo CD offers for a ModelInfer.
local spec = obj.spec or {}
return {
  ["restart"] = { ["disabled"] = spec.suspend == true },
  ["pause"] = { ["disabled"] = spec.paused == true },
  ["resume"] = { ["disabled"] = spec.paused ~= true },
  ["suspend"] = { ["disabled"] = spec.suspend == true },
  ["unsuspend"] = { ["disabled"] = spec.suspend ~= true },
}
