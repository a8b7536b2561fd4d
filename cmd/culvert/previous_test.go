package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// back is how many commits the previous build is behind this one where there is no tag.
const back = 20

// previousBuild builds what came before: CULVERT_PREVIOUS names a program, else it is that of the last tag before this commit, or of
// some commits ago. It is empty where none of that can be had: no git, no history (a shallow clone, an archive), no compiler, as in the
// test machine.
func previousBuild(t *testing.T) string {
	t.Helper()
	if program := os.Getenv("CULVERT_PREVIOUS"); program != "" {
		return program
	}
	commit, err := previousCommit(t.Context())
	if err == nil {
		started := time.Now()
		var program string
		if program, err = buildCommit(t.Context(), commit, t.TempDir()); err == nil {
			t.Logf("the previous build is %s, built in %v", commit, time.Since(started).Round(time.Second))
			return program
		}
	}
	t.Logf("the previous build is this one: %v", err)
	return ""
}

func previousCommit(ctx context.Context) (string, error) {
	if tag, err := output(ctx, "git", "describe", "--tags", "--abbrev=0", "HEAD^"); err == nil {
		return tag, nil
	}
	commit, err := output(ctx, "git", "rev-list", "--first-parent", "--max-count=1", fmt.Sprint("--skip=", back), "HEAD")
	if err == nil && commit == "" {
		err = fmt.Errorf("the history has no tag and fewer than %d commits; a whole clone has them", back)
	}
	return commit, err
}

// buildCommit builds a commit's program in a folder.
func buildCommit(ctx context.Context, commit, dir string) (string, error) {
	root, err := output(ctx, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	archive, program := filepath.Join(dir, "source.tar"), filepath.Join(dir, "previous")
	for _, command := range [][]string{
		{"git", "-C", root, "archive", "--output", archive, commit},
		{"tar", "-xf", archive, "-C", dir},
		{"go", "build", "-C", dir, "-o", program, "./cmd/culvert"},
	} {
		if _, err := output(ctx, command[0], command[1:]...); err != nil {
			return "", err
		}
	}
	return program, nil
}

// output runs a program and returns what it prints.
func output(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err), errors.New(strings.TrimSpace(failure.String())))
	}
	return strings.TrimSpace(string(out)), nil
}
