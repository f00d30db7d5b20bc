-- The health of an ApiCredential for Argo CD, from the conditions in its status. Only the base library is used, because
-- Argo CD opens no other library for scripts from argocd-cm.
local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "The ApiCredential is being deleted.")
end

-- A new object has observedGeneration -1. A status with another generation does not describe this spec.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not reconciled this spec yet.")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- The reason and the message of a condition.
local function describe(condition)
  return condition.reason .. ": " .. condition.message
end

local ready = conditions["Ready"]
if ready == nil then
  return health("Progressing", "The first attempt has not ended yet.")
end
if ready.status == "True" then
  -- The token is valid. A failing renewal is reported by an alert and does not stop a sync.
  local renewed = conditions["Renewed"]
  if ready.reason == "RenewalFailing" and renewed ~= nil then
    return health("Healthy", describe(ready) .. " " .. describe(renewed))
  end
  return health("Healthy", describe(ready))
end
if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  return health("Degraded", describe(conditions["Stalled"]))
end
if conditions["Reconciling"] ~= nil and conditions["Reconciling"].status == "True" then
  return health("Progressing", describe(conditions["Reconciling"]))
end
if obj.spec.suspend == true then
  return health("Suspended", describe(ready))
end
return health("Progressing", describe(ready))
