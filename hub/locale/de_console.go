package locale

// deConsole are the pages of administrators.
var deConsole = table{}
