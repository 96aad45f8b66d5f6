-- A new revision of all roles, as `kubectl rollout restart` does it: an annotation in every template.
local os = require("os")
local at = os.date("!%Y-%m-%dT%XZ")
for _, role in ipairs(obj.spec.template.roles) do
  for _, name in ipairs({ "entryTemplate", "workerTemplate" }) do
    local template = role[name]
    if template ~= nil then
      template.metadata = template.metadata or {}
      template.metadata.annotations = template.metadata.annotations or {}
      template.metadata.annotations["kubectl.kubernetes.io/restartedAt"] = at
    end
  end
end
return obj
