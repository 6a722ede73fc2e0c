package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/agloop/agloop/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestDispatch(t *testing.T) {
	for _, tc := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{nil, exitUsage, "", "Usage: agloop"},
		{[]string{"help"}, exitOK, "Usage: agloop", ""},
		{[]string{"--help"}, exitOK, "Usage: agloop", ""},
		{[]string{"nonsense"}, exitUsage, "", `unknown command "nonsense"`},
		{[]string{"echo", "--help"}, exitOK, "", "-loops"},
		{[]string{"echo", "--nonsense"}, exitUsage, "", "-nonsense"},
		{[]string{"stream", "--profile", "fast"}, exitUsage, "", `"fast" is no profile: there are [balanced latency throughput memory]`},
		{[]string{"stream", "--profile", ""}, exitUsage, "", `"" is no profile`},
		{[]string{"stream", "leftover"}, exitUsage, "", `unexpected argument "leftover"`},
		{[]string{"demo", "--help"}, exitOK, "", `(default "localhost:8080")`},
		{[]string{"demo", "--addr", "no such address"}, exitFailed, "", "agloop demo:"},
		{[]string{"run", "--url", "http://127.0.0.1:1/"}, exitFailed, "", "agloop run:"},
	} {
		var stdout, stderr bytes.Buffer
		code := dispatch(tc.args, &stdout, &stderr)
		if code != tc.code {
			t.Errorf("%q exits with %d, want %d", tc.args, code, tc.code)
		}
		if !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
			t.Errorf("%q prints %q and %q", tc.args, &stdout, &stderr)
		}
	}
}
