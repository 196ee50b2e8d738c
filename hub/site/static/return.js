// Leads on to where the person came from. The link stands there for browsers without
// scripts; this page does not stay in the history, because it works once.
location.replace(document.querySelector('a[data-back]').href);
