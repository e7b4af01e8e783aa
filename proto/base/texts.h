#pragma once
/* texts: a list of strings that ends with NULL; the list and the strings are the owner's. */

/* Append a copy of text. 0, or -ENOMEM and the list is as it was. */
int texts_add(char ***texts, const char *text);
/* The same, unless it is in there. */
int texts_add_once(char ***texts, const char *text);
/* NULL if there is no memory. */
char **texts_copy(char *const *texts);
void texts_free(char **texts);
