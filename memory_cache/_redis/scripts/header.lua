#!lua
-- What every script that reads a header begins with. `parse` is the rule of what a header is; it is
-- written in docs/design.md ("A valid header"), and `Header.parse` (_types.py) is the same one.

local BLOCK, MOST, LATEST, LONGEST, FEW = 64, 2 ^ 53, 1e18, 2048, 64
-- Of a line, and of one pair of an era and its number. Whatever goes through them is short.
local LONGEST_LINE, LONGEST_REIGN = 4096, 64
-- Of messages: in names of fields Lua writes a number from here on with an exponent.
local MOST_MESSAGES = 1e14

-- Whether these are pairs of an era and the num it began with: in order, and none beyond num.
local function reigned(eras, num)
  local last, at, size = 0, 1, #eras
  while size <= LONGEST do
    local _, to, since = string.find(eras, '^%w+:(%d+)', at)
    since = tonumber(since)
    if not since or since <= last or since > num or to - at >= LONGEST_REIGN then
      return false
    elseif to == size then
      return true
    elseif string.byte(eras, to + 1) ~= 44 then
      return false
    end
    last, at = since, to + 2
  end
  return false
end

-- Whether all numbers are in their range, and none is against another one.
local function agrees(h)
  -- A message has two bytes at least: {}.
  local count = h.next - h.first
  return h.num < MOST and h.next < MOST_MESSAGES and h.size < MOST and h.newest < LATEST
    and h.tokens >= 0 and h.tokens < MOST and h.ttl < MOST
    and tonumber(h.updated) < MOST and tonumber(h.created) < MOST
    and count >= 0 and h.size >= 2 * count and (count > 0 or h.size == 0)
    and h.edits < h.num and h.fields_num <= h.num
end

-- Returns what a header line says; nil if it is none, or one that contradicts itself.
local function parse(line)
  if #line > LONGEST_LINE then
    return nil
  end
  local inc, num, tag, first, next_, edits, size, tokens, newest, updated, created, ttl,
    fields_num, eras = string.match(line,
    '^2 (%w+) (%d+) (%w+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+)$')
  if not inc then
    return nil
  end
  local h = {
    inc = inc, num = tonumber(num), tag = tag, first = tonumber(first), next = tonumber(next_),
    edits = tonumber(edits), size = tonumber(size), tokens = tonumber(tokens),
    newest = tonumber(newest), updated = updated, created = created, ttl = tonumber(ttl),
    fields_num = tonumber(fields_num), eras = eras,
  }
  return agrees(h) and reigned(eras, h.num) and h or nil
end

-- Whether the record has as many fields as its blocks need: each has a sidecar and a message at
-- least. What passes bounds every loop over blocks, in scripts and in whoever asks them.
local function has_room(key, h)
  local blocks = math.floor((h.next - 1) / BLOCK) - math.floor(h.first / BLOCK) + 1
  return blocks <= FEW or redis.call('HLEN', key) > 2 * blocks
end
