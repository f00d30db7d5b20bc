-- A suspended ApiCredential serves a request only after it is resumed, so the button would seem to do nothing.
local idle = obj.spec.suspend == true or obj.metadata.deletionTimestamp ~= nil
return {
  renew = {
    disabled = idle,
    displayName = "Renew the token",
    iconClass = "fa fa-fw fa-redo",
  },
}
