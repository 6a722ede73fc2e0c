package run_test

import "slices"

// shrunk is a short list of steps that still fails: steps are left out, many at once and then one by one, and
// numbers made smaller, until nothing of that fails any more.
func shrunk(steps []step, fails func([]step) bool) []step {
	for {
		before := textOf(steps)
		steps = fewer(steps, fails)
		steps = smaller(steps, fails)
		if textOf(steps) == before {
			return steps
		}
	}
}

func fewer(steps []step, fails func([]step) bool) []step {
	for n := max(1, len(steps)/2); n > 0; n /= 2 {
		for at := 0; at+n <= len(steps); {
			if without := slices.Concat(steps[:at], steps[at+n:]); fails(without) {
				steps = without
			} else {
				at += n
			}
		}
	}
	return steps
}

func smaller(steps []step, fails func([]step) bool) []step {
	for i := range steps {
		for j := range steps[i].args {
			steps = smallerNumber(steps, i, j, fails)
		}
		for n := len(steps[i].args); n > 0 && steps[i].args[n-1] == 0; n-- { // a number that is missing is 0
			steps = replaced(steps, i, step{steps[i].verb, steps[i].args[:n-1]})
		}
	}
	return steps
}

// smallerNumber makes one number smaller, by halves, bits and ones.
func smallerNumber(steps []step, i, j int, fails func([]step) bool) []step {
	for {
		n := steps[i].args[j]
		if n == 0 {
			return steps
		}
		tries := []int{0, n / 2, n &^ (n & -n), n - 1}
		if n < 0 {
			tries = []int{0, -n}
		}
		better := false
		for _, less := range tries {
			args := slices.Clone(steps[i].args)
			args[j] = less
			if other := replaced(steps, i, step{steps[i].verb, args}); fails(other) {
				steps, better = other, true
				break
			}
		}
		if !better {
			return steps
		}
	}
}

func replaced(steps []step, i int, s step) []step {
	other := slices.Clone(steps)
	other[i] = s
	return other
}
