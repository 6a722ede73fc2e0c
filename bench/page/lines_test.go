package page

import (
	"slices"
	"testing"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

func TestApart(t *testing.T) {
	for _, c := range []struct {
		name         string
		wanted, want []vg.Length
	}{
		{"nothing", nil, nil},
		{"room for all", []vg.Length{0, 20, 50}, []vg.Length{0, 20, 50}},
		{"a pair gives way to both sides", []vg.Length{40, 44}, []vg.Length{37, 47}},
		{"a block that grows into its neighbour takes it along", []vg.Length{31, 40, 40, 40}, []vg.Length{22.75, 32.75, 42.75, 52.75}},
		{"not below the axis", []vg.Length{0, 1, 50}, []vg.Length{0, 10, 50}},
		{"not above the plot", []vg.Length{20, 99, 100}, []vg.Length{20, 90, 100}},
	} {
		if got := apart(c.wanted, 10, 0, 100); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestThinKeepsTheEnds(t *testing.T) {
	ticks := plot.ConstantTicks{
		{Value: 1, Label: "1 B"},
		{Value: 1.1, Label: "1.1 B"},
		{Value: 30, Label: "30 B"},
		{Value: 98, Label: "98 B"},
		{Value: 100, Label: "100 B"},
	}
	var got []string
	for _, tick := range withoutOverlaps(ticks, 300, label) {
		got = append(got, tick.Label)
	}
	if want := []string{"1 B", "", "30 B", "", "100 B"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if ticks[1].Label == "" {
		t.Error("thin changed its argument")
	}
}

func TestLogTicks(t *testing.T) {
	for _, c := range []struct {
		name      string
		low, high float64
		size      vg.Length
		want      []string
	}{
		{"all of 1, 2, 5", 0.2, 5, 400, []string{"0.2 µs", "0.5 µs", "1 µs", "2 µs", "5 µs"}},
		{"powers of ten alone where room is short", 0.2, 500, 200, []string{"1 µs", "10 µs", "100 µs"}},
		{"without a power of ten", 2, 5, 200, []string{"2 µs", "5 µs"}},
		{"across units", 100, 10000, 400, []string{"100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms"}},
	} {
		ticks := logTicks(c.low, c.high, "µs", c.size, label, false)
		slices.SortFunc(ticks, func(a, b plot.Tick) int {
			if a.Value < b.Value {
				return -1
			}
			return 1
		})
		var got []string
		for _, tick := range ticks {
			got = append(got, tick.Label)
		}
		for i := range c.want {
			c.want[i] = spaced(c.want[i])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
