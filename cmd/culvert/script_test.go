package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/culvertnet/culvert/lab"
)

// TestMain makes `culvert` a command of the scripts: this binary, run again.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"culvert": main})
}

func TestScripts(t *testing.T) {
	var labs atomic.Int32
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		// $LAB is a lab of the script's own, taken down whatever happens to the script.
		Setup: func(env *testscript.Env) error {
			name := fmt.Sprintf("cli%dx%d", os.Getpid(), labs.Add(1))
			env.Setenv("LAB", name)
			env.Defer(func() {
				if err := lab.Down(name); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Condition: func(cond string) (bool, error) {
			return cond == "root" && unix.Geteuid() == 0, nil
		},
	})
}
