FROM base:1
HEALTHCHECK CMD first
HEALTHCHECK --retries=2 --interval=0s CMD [ "second" ]
