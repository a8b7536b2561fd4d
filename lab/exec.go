package lab

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// Exec runs a program in a node's namespace and returns its exit status. The error is nil if the program ran, whatever its
// status; a program that a signal ended has status -1.
func (l *Lab) Exec(nodeName string, argv []string, stdin io.Reader, stdout, stderr io.Writer) (status int, err error) {
	if len(argv) == 0 {
		return 0, errors.New("exec: no program given")
	}
	ns, err := l.Open(nodeName)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	// The child inherits the namespace of the thread that forks it, which Do's thread is.
	if err := ns.Do(cmd.Start); err != nil {
		return 0, fmt.Errorf("exec %s in %s: %w", argv[0], nodeName, err)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("exec %s in %s: %w", argv[0], nodeName, err)
	}
	return 0, nil
}
