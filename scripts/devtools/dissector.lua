-- TeamTalk's protocol for Wireshark: the header, and every message with its fields.
-- Made by scripts/generate_dissector from protos/; changes belong there.
--
-- To install: copy this file into the folder that Help > About Wireshark > Folders calls "Personal Lua Plugins"
-- (~/.local/lib/wireshark/plugins), and press Ctrl-Shift-L. Without installing: wireshark -X lua_script:teamtalk.lua

@TABLES@

local HEADER_LENGTH = 16
local MAX_LENGTH = 64 * 1024 * 1024

local teamtalk = Proto("teamtalk", "TeamTalk")

local fields = {
    length = ProtoField.uint32("teamtalk.length", "Length", base.DEC, nil, nil, "Bytes, the header included"),
    version = ProtoField.uint16("teamtalk.version", "Version"),
    flag = ProtoField.uint16("teamtalk.flag", "Flag"),
    service = ProtoField.uint16("teamtalk.service", "Service", base.HEX, SERVICES),
    command = ProtoField.uint16("teamtalk.command", "Command", base.HEX, COMMAND_NAMES),
    seq = ProtoField.uint16("teamtalk.seq", "Sequence number"),
    reserved = ProtoField.uint16("teamtalk.reserved", "Reserved"),
    message = ProtoField.string("teamtalk.message", "Message"),
    unknown = ProtoField.bytes("teamtalk.unknown", "Field that the protocol does not have"),
    answer_in = ProtoField.framenum("teamtalk.answer_in", "Answered in", base.NONE, frametype.RESPONSE),
    answer_to = ProtoField.framenum("teamtalk.answer_to", "Answer to", base.NONE, frametype.REQUEST),
    time = ProtoField.double("teamtalk.time", "Seconds since the request"),
}

local expert_malformed = ProtoExpert.new("teamtalk.malformed", "The body does not parse", expert.group.MALFORMED, expert.severity.ERROR)
local expert_unknown = ProtoExpert.new("teamtalk.unknown_command", "The protocol has no such command", expert.group.UNDECODED,
    expert.severity.WARN)
teamtalk.experts = { expert_malformed, expert_unknown }

-- one field of Wireshark for each field of each message: teamtalk.IMMsgData.from_user_id
local message_fields = {}
local all_fields = {}
for _, field in pairs(fields) do
    all_fields[#all_fields + 1] = field
end
for message, description in pairs(MESSAGES) do
    message_fields[message] = {}
    for number, field in pairs(description) do
        local name = "teamtalk." .. message .. "." .. field.name
        local made
        if field.enum then
            made = ProtoField.uint32(name, field.name, base.DEC, ENUMS[field.enum])
        elseif field.type == "uint32" then
            made = ProtoField.uint32(name, field.name)
        elseif field.type == "bytes" then
            made = ProtoField.bytes(name, field.name)
        else
            made = ProtoField.string(name, field.name)
        end
        message_fields[message][number] = made
        all_fields[#all_fields + 1] = made
    end
end
teamtalk.fields = all_fields

teamtalk.prefs.ports = Pref.range("TCP ports", "8000,8008,8100,8200,8600,10600",
    "Ports on which nothing but this protocol is spoken; on others it is recognized by its headers", 65535)

-- stream and direction -> command and sequence number -> { frame, time } of a request without an answer yet
local waiting = {}
-- frame and offset in it -> the frame of the other one, and seconds
local answer_in, answer_to = {}, {}

local stream_of = Field.new("tcp.stream")

function teamtalk.init()
    waiting, answer_in, answer_to = {}, {}, {}
end

-- Return the value of the varint at an offset and the offset behind it; nil if it is cut off. What does not fit into 53 bits is not exact,
-- which no field of the protocol needs.
local function varint(tvb, offset)
    local value, factor = 0, 1
    for index = offset, math.min(offset + 9, tvb:len() - 1) do
        local byte = tvb(index, 1):uint()
        value = value + (byte % 128) * factor
        if byte < 128 then
            return value, index + 1
        end
        factor = factor * 128
    end
    return nil
end

local dissect_message

-- Add one field to the tree and return the offset behind it; nil if the body does not parse.
local function dissect_field(tvb, offset, tree, message)
    local start = offset
    local key
    key, offset = varint(tvb, offset)
    if not key then
        return nil
    end
    local number, wire_type = math.floor(key / 8), key % 8
    local field = MESSAGES[message][number]
    local value, behind
    if wire_type == 0 then
        value, behind = varint(tvb, offset)
    elseif wire_type == 2 then
        value, offset = varint(tvb, offset)
        behind = value and offset + value
    elseif wire_type == 1 or wire_type == 5 then
        behind = offset + (wire_type == 1 and 8 or 4)
    end
    if not behind or behind > tvb:len() then
        return nil
    end
    local whole = tvb(start, behind - start)
    local shown = field and message_fields[message][number]
    if wire_type == 0 and shown and (field.type == "uint32" or field.enum) then
        tree:add(shown, whole, value % 4294967296)
    elseif wire_type == 2 and shown and field.message then
        local child = tree:add(shown, whole, field.message)
        if value > 0 and not dissect_message(tvb(offset, value):tvb(), child, field.message) then
            return nil
        end
    elseif wire_type == 2 and shown and field.type == "string" then
        tree:add(shown, whole, value > 0 and tvb(offset, value):string(ENC_UTF_8) or "")
    elseif wire_type == 2 and shown and field.type == "bytes" then
        if value > 0 then
            tree:add(shown, tvb(offset, value))
        else
            tree:add(whole, field.name .. ": empty")
        end
    elseif wire_type == 2 and shown and field.type == "uint32" then -- a packed list
        local position = offset
        while position < behind do
            local item
            item, position = varint(tvb, position)
            if not item then
                return nil
            end
            tree:add(shown, whole, item % 4294967296)
        end
    else
        tree:add(fields.unknown, whole)
    end
    return behind
end

-- Add the fields of a message to the tree; false if it does not parse.
function dissect_message(tvb, tree, message)
    local offset = 0
    while offset < tvb:len() do
        offset = dissect_field(tvb, offset, tree, message)
        if not offset then
            return false
        end
    end
    return true
end

local function other_way(stream, pinfo)
    return stream .. ">" .. pinfo.src_port
end

-- Return the encoding of a body's first field, if it is the field 1 and a short one: in requests and answers of most commands it is the
-- user.
local function first_field(tvb)
    if tvb:len() <= HEADER_LENGTH + 1 then
        return ""
    end
    local tag = tvb(HEADER_LENGTH, 1):uint()
    if tag == 8 then
        local _, behind = varint(tvb, HEADER_LENGTH + 1)
        return behind and tostring(tvb(HEADER_LENGTH, behind - HEADER_LENGTH):bytes()) or ""
    end
    local length = tvb(HEADER_LENGTH + 1, 1):uint()
    if tag == 10 and length < 128 and HEADER_LENGTH + 2 + length <= tvb:len() then
        return tostring(tvb(HEADER_LENGTH, 2 + length):bytes())
    end
    return ""
end

-- Return the value of a field of the body that is a number; nil if it is not there.
local function number_in(tvb, wanted)
    local offset = HEADER_LENGTH
    while offset < tvb:len() do
        local key, value
        key, offset = varint(tvb, offset)
        if not key then
            return nil
        end
        value, offset = varint(tvb, offset)
        if not value then
            return nil
        end
        if key == wanted * 8 then
            return value
        end
        if key % 8 == 2 then
            offset = offset + value
        elseif key % 8 ~= 0 then
            return nil
        end
    end
    return nil
end

local MSG_DATA, MSG_ID = 0x0301, 3

-- Whether a PDU is a request. A message that has an id is the copy that acknowledges one, or one for a client.
local function asks(command, tvb)
    return REPLIES[command] and not (command == MSG_DATA and (number_in(tvb, MSG_ID) or 0) > 0)
end

-- Remember a request, or find the one that is answered. A message server passes the sequence numbers of its clients on, so several requests
-- may have the same: among them it is the oldest that begins with the same field, or else the oldest.
local function match(tvb, pinfo, command, seq, offset)
    local stream = stream_of()
    if not stream then
        return
    end
    stream = tostring(stream)
    local here, now, first = pinfo.number .. ":" .. offset, pinfo.abs_ts, first_field(tvb)
    local asked = waiting[stream .. ">" .. pinfo.dst_port]
    local key = (ALIASES[command] or command) .. ":" .. seq
    local requests = asked and asked[key]
    if requests and #requests > 0 then
        local place = 1
        for index, request in ipairs(requests) do
            if request.first == first then
                place = index
                break
            end
        end
        local request = table.remove(requests, place)
        answer_to[here] = { frame = request.frame, time = now - request.time }
        answer_in[request.here] = pinfo.number
        return
    end
    if asks(command, tvb) then
        local way, reply = other_way(stream, pinfo), REPLIES[command]
        waiting[way] = waiting[way] or {}
        local reply_key = (ALIASES[reply] or reply) .. ":" .. seq
        waiting[way][reply_key] = waiting[way][reply_key] or {}
        table.insert(waiting[way][reply_key], { frame = pinfo.number, here = here, time = now, first = first })
    end
end

local function dissect_pdu(tvb, pinfo, tree)
    local command, seq = tvb(10, 2):uint(), tvb(12, 2):uint()
    local name = COMMAND_NAMES[command] or string.format("0x%04x", command)
    local message = COMMAND_MESSAGES[command]
    pinfo.cols.protocol = "TeamTalk"
    pinfo.cols.info:append((tostring(pinfo.cols.info) ~= "" and ", " or "") .. name .. " seq=" .. seq)
    pinfo.cols.info:fence()
    local offset = tvb:offset()
    if not pinfo.visited then
        match(tvb, pinfo, command, seq, offset)
    end
    local top = tree:add(teamtalk, tvb(), "TeamTalk, " .. name .. ", sequence number " .. seq)
    top:add(fields.length, tvb(0, 4))
    top:add(fields.version, tvb(4, 2))
    top:add(fields.flag, tvb(6, 2))
    top:add(fields.service, tvb(8, 2))
    local command_item = top:add(fields.command, tvb(10, 2))
    top:add(fields.seq, tvb(12, 2))
    top:add(fields.reserved, tvb(14, 2))
    local here = pinfo.number .. ":" .. offset
    if answer_in[here] then
        top:add(fields.answer_in, answer_in[here]):set_generated()
    end
    if answer_to[here] then
        top:add(fields.answer_to, answer_to[here].frame):set_generated()
        top:add(fields.time, answer_to[here].time):set_generated()
    end
    if not message then
        command_item:add_proto_expert_info(expert_unknown)
    elseif tvb:len() > HEADER_LENGTH then
        local body = tvb(HEADER_LENGTH)
        local item = top:add(fields.message, body, message)
        if not dissect_message(body:tvb(), item, message) then
            item:add_proto_expert_info(expert_malformed)
        end
    else
        top:add(fields.message, tvb(HEADER_LENGTH - 1, 0), message)
    end
    return tvb:len()
end

local function pdu_length(tvb, _, offset)
    return math.max(HEADER_LENGTH, tvb(offset, 4):uint())
end

function teamtalk.dissector(tvb, pinfo, tree)
    pinfo.cols.info:clear()
    dissect_tcp_pdus(tvb, tree, HEADER_LENGTH, pdu_length, dissect_pdu)
    return tvb:len()
end

-- Whether a segment looks like the beginning of a PDU.
local function recognize(tvb, pinfo, tree)
    if tvb:len() < HEADER_LENGTH then
        return false
    end
    local length, version, command = tvb(0, 4):uint(), tvb(4, 2):uint(), tvb(10, 2):uint()
    if length < HEADER_LENGTH or length > MAX_LENGTH or version > 16 or not COMMAND_NAMES[command]
        or tvb(8, 2):uint() ~= math.floor(command / 256) then
        return false
    end
    pinfo.conversation = teamtalk
    teamtalk.dissector(tvb, pinfo, tree)
    return true
end

local used = teamtalk.prefs.ports
DissectorTable.get("tcp.port"):add(used, teamtalk)
function teamtalk.prefs_changed()
    if used ~= teamtalk.prefs.ports then
        DissectorTable.get("tcp.port"):remove(used, teamtalk)
        used = teamtalk.prefs.ports
        DissectorTable.get("tcp.port"):add(used, teamtalk)
    end
end
teamtalk:register_heuristic("tcp", recognize)
