-- For wrk: POSTs of notes, each with a name of its own, in a header too.
dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "clients.lua")

local count = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
    count = count + 1
    wrk.headers["X-Load-Name"] = named(count)
    wrk.body = string.format('{"text": "%s"}', named(count))
    return wrk.format()
end
