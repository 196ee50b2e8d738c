// Package capture reads what a phone captured of an identity document: pictures, the
// machine-readable zone, the bar code. None of it is signed, so nothing here verifies a
// document: it makes pictures safe to keep and gives the people who look at them hints on
// what does not fit together. It keeps nothing and decides nothing.
package capture
