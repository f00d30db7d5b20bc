-- A suspended credential keeps a request until it is resumed: no button that seems to do nothing.
local idle = obj.spec.suspend == true or obj.metadata.deletionTimestamp ~= nil
return {
  renew = {
    disabled = idle,
    displayName = "Renew the token",
    iconClass = "fa fa-fw fa-redo",
  },
}
