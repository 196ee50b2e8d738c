// Package command is the directory kind of a worker: a program that the administrator
// named in the agent's own file, asked in JSON over its standard input and output by the
// stdio worker protocol of the public agents. It knows no directory itself, and no hub:
// what a hub says reaches a worker as values of JSON alone, never as a command.
package command
