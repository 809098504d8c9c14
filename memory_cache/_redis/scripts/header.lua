#!lua
-- What every script that reads a header begins with. `parts_of` is the rule of what a header is; it is
-- written in docs/design.md ("A valid header"), and `Header.parse` (_types.py) is the same one.

local BLOCK, MOST, LATEST, LONGEST = 64, 2 ^ 53, 1e18, 2048
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
local function agree(num, first, next_, edits, size, tokens, newest, updated, created, ttl, fields_num)
  -- A message has two bytes at least: {}.
  local count = next_ - first
  return num < MOST and next_ < MOST_MESSAGES and size < MOST and newest < LATEST
    and tokens >= 0 and tokens < MOST and ttl < MOST and updated < MOST and created < MOST
    and count >= 0 and size >= 2 * count and (count > 0 or size == 0)
    and edits < num and fields_num <= num
end

-- Returns what a header line says, part by part; nil if it is none, or one that contradicts itself.
-- updated and created are text: nobody counts with them.
local function parts_of(line)
  if #line > LONGEST_LINE then
    return nil
  end
  local inc, num, tag, first, next_, edits, size, tokens, newest, updated, created, ttl,
    fields_num, eras, since, behind = string.match(line,
    '^2 (%w+) (%d+) (%w+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%w+:(%d+)()%S*)$')
  if not inc then
    return nil
  end
  -- Digits are a number as soon as one counts with them: tonumber costs three times as much.
  num, first, next_, edits, size = num + 0, first + 0, next_ + 0, edits + 0, size + 0
  tokens, newest, ttl, fields_num = tokens + 0, newest + 0, ttl + 0, fields_num + 0
  if not agree(num, first, next_, edits, size, tokens, newest, updated + 0, created + 0, ttl, fields_num) then
    return nil
  end
  -- As a rule there is one reign.
  local one = behind > #line and since + 0 > 0 and since + 0 <= num and #eras <= LONGEST_REIGN
  if not one and not reigned(eras, num) then
    return nil
  end
  return inc, num, tag, first, next_, edits, size, tokens, newest, updated, created, ttl,
    fields_num, eras
end
