-- Requests at random out of the file BENCH_REQUESTS, where they are written whole, NUL bytes between them.
local common = dofile("bench/traffic/common.lua")
local requests = {}
for each in io.open(os.getenv("BENCH_REQUESTS"), "rb"):read("*a"):gmatch("[^%z]+") do requests[#requests + 1] = each end

function request()
  return requests[math.random(#requests)]
end
