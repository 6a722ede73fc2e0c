package tune

// For the tests that hold the table against package loop, which imports this one.
var (
	Everywhere = everywhere
	SomeBases  = someBases
)
