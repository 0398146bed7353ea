-- Revokes every key of the file, once.
local common = dofile("bench/traffic/common.lua")
local keys = common.keys()
local sent, received = 0, 0

function request()
  sent = sent % #keys + 1
  return common.with_token("PUT", "/api/v2/api-keys/" .. keys[sent].id .. "/revoke")
end

function response()
  received = received + 1
  if received == #keys then common.finish() end
end
