-- Each new value requests one token exchange. The operator makes at most one in 30 seconds.
local os = require("os")
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["apicredential.io/renew-requested-at"] = os.date("!%Y-%m-%dT%H:%M:%SZ")
return obj
