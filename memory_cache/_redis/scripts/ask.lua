-- Whether a large change may be made, before anything of it is written: changes nothing.
-- Status beside those of changes: clear.

return check() or answer('clear')
