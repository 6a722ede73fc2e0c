package page

import (
	"strings"
	"testing"

	"github.com/agloop/agloop/bench/result"
)

func spaced(s string) string { return strings.ReplaceAll(s, " ", noBreak) }

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.2614: "0.261", 0.03127: "0.0313", 0.999: "0.999", 1: "1.00", 9.996: "10.0",
		26.14: "26.1", 261.4: "261", 2614: "2614", 26142.7: "26,143",
		4100000: "4,100,000", -0.5: "-0.500", -12345: "-12,345",
	} {
		if got := Number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		v    float64
		unit string
		want string
	}{
		{0.26, "µs", "0.260 µs"},
		{1500, "µs", "1.50 ms"},
		{2.5e6, "µs", "2.50 s"},
		{560, "B", "560 B"},
		{2.5e7, "B", "25.0 MB"},
		{12000, "ns", "12.0 µs"},
		{4.1e6, "1/s", "4,100,000/s"},
		{8, "", "8.00"},
	} {
		if got := quantity(c.v, c.unit); got != spaced(c.want) {
			t.Errorf("%v %s: %q, want %q", c.v, c.unit, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	for ratio, want := range map[float64]string{
		1.0 / 24: "24 times less than", 0.5: "2.0 times less than", 0.77: "23% less than", 1: "level with", 0.98: "level with",
		1.2: "20% more than", 3: "3.0 times more than",
	} {
		if got := compare(ratio); got != want {
			t.Errorf("%v: %q, want %q", ratio, got, want)
		}
	}
}

// The heading must not boast: it names the best rival, not the worst.
func TestFindingNamesTheNearestRival(t *testing.T) {
	c := result.Case{Measure: result.Measure{Key: "k", Unit: "µs"}}
	for _, s := range []struct {
		name string
		v    float64
	}{{"agloop", 1}, {"gnet", 0.9}, {"uWebSockets", 1.1}, {"gorilla", 9}, {"gws", 4}} {
		c.Servers = append(c.Servers, result.Server{Name: s.name, Rounds: []result.Round{{Values: map[string]float64{"k": s.v}}}})
	}
	if got, want := finding(&c), "agloop 1.00 µs, 4.0 times less than gws"; got != strings.Replace(want, " µs", noBreak+"µs", 1) {
		t.Errorf("%q, want %q", got, want)
	}
	c.Measure.More = true
	if got := nearest(&c).Name; got != "gorilla" {
		t.Errorf("with more being better the nearest is %s", got)
	}
	c.Servers = c.Servers[1:]
	if got := finding(&c); got != "agloop has no figure" {
		t.Error(got)
	}
}
