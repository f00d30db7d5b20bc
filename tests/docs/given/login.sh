# The name that belongs to a password, in a file of one's own.
printf %s you@example.com >username.txt
