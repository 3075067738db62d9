FROM base:1
COPY . /context/
