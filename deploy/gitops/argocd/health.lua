-- The health of an ApiCredential for Argo CD, by the conditions in its status. No library but the base one is used:
-- Argo CD opens no other for scripts from argocd-cm.
local function health(status, message)
  return { status = status, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "The credential is being deleted.")
end

-- The API server writes observedGeneration -1 into a new object: a status of another generation says nothing of this spec.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not come to an end with this spec yet.")
end

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

-- What `kubectl get apicred -o wide` says, and the reason in front.
local function told(condition)
  return condition.reason .. ": " .. condition.message
end

local ready = conditions["Ready"]
if ready == nil then
  return health("Progressing", "The first attempt has not ended yet.")
end
if ready.status == "True" then
  -- The token works. That its renewal fails is for an alert: it is no reason to stop a sync.
  local renewed = conditions["Renewed"]
  if ready.reason == "RenewalFailing" and renewed ~= nil then
    return health("Healthy", told(ready) .. " " .. told(renewed))
  end
  return health("Healthy", told(ready))
end
if conditions["Stalled"] ~= nil and conditions["Stalled"].status == "True" then
  return health("Degraded", told(conditions["Stalled"]))
end
if conditions["Reconciling"] ~= nil and conditions["Reconciling"].status == "True" then
  return health("Progressing", told(conditions["Reconciling"]))
end
if obj.spec.suspend == true then
  return health("Suspended", told(ready))
end
return health("Progressing", told(ready))
