FROM base:1 AS both
CMD ["arg"]
ENTRYPOINT ["/bin/echo", "x"]
FROM both AS cmd-goes
ENTRYPOINT ["/bin/cat"]
FROM cmd-goes AS shell
ENTRYPOINT exec cat $HOME
CMD not used
FROM base:1
CMD [ 'single', 'quotes' ]
ENTRYPOINT [ "a" , "b\u0041\"c\\" ]
CMD [ "second" ]
