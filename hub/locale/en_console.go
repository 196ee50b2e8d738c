package locale

// enConsole are the pages of administrators.
var enConsole = table{}
