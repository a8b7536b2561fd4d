// Package script plays scenarios over a lab: txtar files that read like a story, for tests and for `culvert lab run`.
//
//	script.Run(t, script.Tools{Converge: agent}, "testdata/redirect.txtar")              // in a test
//	failed, err := script.Play(os.Stdout, script.Tools{Converge: agent}, files...)       // anywhere else
//
// A scenario is a list of commands and the files they use; [Help] lists the commands.
//
//	lab up fleet.yaml
//	serve server tcp 198.51.100.1:443
//	pin edge1 acme 45.86.152.23 hv1
//	mark
//	open web acme/vm-b tcp 198.51.100.1:443
//	send web 1000000
//	saw web 45.86.152.23 2048-3071
//	gained hv1/acme counter netdev/redirected > 0
//
//	-- fleet.yaml --
//	...
//
// The engine is testscript: `! command` wants the command to fail, `stdout` and `stderr` match what the last command printed.
//
// Be aware: a scenario runs no programs, PATH is empty. `! command` is for what the network refuses; a command that is written
// wrongly, or names a node that is not there, ends the scenario either way. Each scenario has a lab of its own and takes it down
// at the end, also when it fails.
package script
