package main

import "testing"

func TestReport(t *testing.T) {
	var r report
	r.add("mode", "echo")
	r.add("conns", 64)
	r.add("p50_us", round(1.25678, 2))
	r.add("max_us", 1342127.6)
	r.add("load_saturated", false)
	if got, want := string(r.text()), "mode=echo conns=64 p50_us=1.26 max_us=1342127.6 load_saturated=false\n"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
	b, err := r.json()
	if want := `{"mode":"echo","conns":64,"p50_us":1.26,"max_us":1342127.6,"load_saturated":false}` + "\n"; err != nil || string(b) != want {
		t.Errorf("JSON %q, error %v, want %q", b, err, want)
	}
}
