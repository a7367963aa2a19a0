"""Views: from an opened run to pictures in rows and columns, codes, facts and a caption."""
