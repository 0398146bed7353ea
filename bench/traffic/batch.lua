-- A hundred keys at random in every request, each with its scope and address.
local common = dofile("bench/traffic/common.lua")
local pick, host = common.picker(), common.host()
local post = common.post("/api/v2/api-keys/verify/batch", common.credential)

function request()
  local questions = {}
  for place = 1, 100 do questions[place] = common.question(pick(), host()) end
  return post('{"keys":[' .. table.concat(questions, ",") .. "]}")
end
